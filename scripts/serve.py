"""Start Rainloom: `python3 scripts/serve.py [--port N]`. Makes `.venv` on first use."""

import sys

import environment

if __name__ == "__main__":
    environment.run("-m", "app", "serve", *sys.argv[1:])
