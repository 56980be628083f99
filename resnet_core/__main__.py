"""`python -m resnet_core VERB`: every number of every page without a browser."""

from resnet_core.cli import main

if __name__ == "__main__":
    main()
