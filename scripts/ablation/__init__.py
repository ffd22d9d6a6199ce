"""Special paths of kernels and of training, each beside its plain form."""
