"""What the modules of other libraries say of their neurons: one library a file, recognised by the names of classes."""
