"""A sealed file becomes batches, once: its rows rendered, cut into requests, committed with its positions."""
