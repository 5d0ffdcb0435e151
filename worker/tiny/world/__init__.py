"""What the tiny SDXL has seen: `shapes`, `scene` (things and where they stand), their pictures
(`drawing`, `degrade` for flaws, `glorp` for a thing that only a LoRA knows) and `captions`.
"""
