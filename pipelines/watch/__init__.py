"""What is watched: alerts, drift and triggers, each a function of the statistics as of a time, posted as signed entries.

A window of cells is looked at once it is mature: when its end and the attribution window have passed and the frontier has come
there. So a decision depends on the log alone, never on when somebody looked. When statistics of such a window change later, all
decisions of that rule are taken again, and the difference is posted with the time from which it could be known.
"""
