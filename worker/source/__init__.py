"""The only room that knows Faust: the app, its transport, and the consumer behind it."""
