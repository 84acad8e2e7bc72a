"""The demonstration: the real parts on an empty store, driven as a brand would drive them."""
