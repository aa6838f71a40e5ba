"""Many runs at once: what happens around the jobs of `python train.py -m`."""
