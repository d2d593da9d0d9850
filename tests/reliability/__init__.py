"""The card: checks of what the README promises, each of which a stranger can run and see fail on a broken product."""
