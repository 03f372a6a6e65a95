"""Tables for the terminal, figures and the page, made from finished results.

Nothing here computes statistics of its own. Import the module you need: `tables` loads Rich, `figures` Matplotlib.
"""

__all__ = ["figures", "tables"]
