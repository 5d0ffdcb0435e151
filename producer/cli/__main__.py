"""`gridfarm`, and `python -m producer.cli`: Ctrl-C is heeded from before the first import on."""

from __future__ import annotations

from producer.cli import interrupts


def main() -> None:
    interrupts.end_at_once()
    from producer.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
