"""The public interface: results with tables, plots and files. It computes nothing; it joins the rooms below."""
