"""The live state of a lake in a browser: what `hindsight serve` shows. It only reads, tables as files, and never starts Spark."""
