"""``nlpu memory``: stores of pages, from the terminal."""
