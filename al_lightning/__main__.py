"""``python -m al_lightning`` is ``al-lightning``."""

from al_lightning.cli.main import console

if __name__ == "__main__":
    console()
