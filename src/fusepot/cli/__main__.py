"""``python -m fusepot.cli``."""

from fusepot.cli.commands import main

if __name__ == "__main__":
    main()
