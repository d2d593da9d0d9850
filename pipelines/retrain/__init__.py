"""From a trigger to a settled verdict: one run, a challenger judged beside the champion, an alias that moves or does not."""
