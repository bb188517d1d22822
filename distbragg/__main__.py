"""`python -m distbragg`: the command line where its script is not installed."""

from distbragg.cli.main import entry

if __name__ == "__main__":
    entry()
