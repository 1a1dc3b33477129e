"""HTTP interfaces that submit and answer."""
