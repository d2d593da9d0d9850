"""Gates: a suite of Great Expectations per model, its row rules kept at the door, all of it kept at each release."""
