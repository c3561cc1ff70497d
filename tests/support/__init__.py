"""What tests share: oracles, the corpus, image fixtures, boots."""
