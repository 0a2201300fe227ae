"""One kernel facility a file. Facts and calls, never a judgement (that is `model`) and never a wait (that is a driver's)."""
