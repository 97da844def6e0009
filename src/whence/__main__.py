"""``python -m whence``: the same as the command ``whence``."""

from whence.cli import main

if __name__ == "__main__":
    main()
