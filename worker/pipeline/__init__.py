"""The whole flow, its states, and the only place that holds the source back."""
