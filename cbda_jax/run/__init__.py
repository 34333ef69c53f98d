"""One run: what its config means, the loop, and what comes of it. Config objects stop here."""
