"""Makes ``python -m promotion`` the same as the installed command ``promotion``."""

from promotion.cli import run

if __name__ == "__main__":
    run()
