"""How close a synthesis comes to its recording: the objective copy-synthesis metrics of vocoders."""
