"""What a network fires and answers beside the model that it was imported from, in float32 and in fixed point."""
