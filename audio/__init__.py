"""flowsuite.audio: WaveFlow and WaveGlow, speech from spectrograms with exact likelihood, will live here."""
