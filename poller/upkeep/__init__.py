"""What comes after: creates that showed late, and data that nobody needs any more."""
