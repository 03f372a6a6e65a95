"""irt-bench as a user runs it: words in, what is printed and an exit code out; in this process, which saves seconds."""

from typer.testing import CliRunner, Result

from irt_bench.cli import app


def run(*arguments: object, code: int = 0, env: dict[str, str] | None = None) -> Result:
    """Run a command and hold it to its exit code; whatever comes, no traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def printed(*arguments: object, code: int = 0, env: dict[str, str] | None = None) -> str:
    """Run a command and return its words, whatever the width of the terminal."""
    return " ".join(run(*arguments, code=code, env=env).output.split())
