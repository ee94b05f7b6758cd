"""The store's schema, revision by revision; shipped with the package and run when a store is opened."""
