"""``python -m irt_bench``: the command irt-bench."""

from irt_bench.cli import app

if __name__ == "__main__":
    app(prog_name="irt-bench")
