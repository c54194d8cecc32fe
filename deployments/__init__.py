"""How packshot runs for real; a package so that an installed one finds its files."""
