"""What it costs: the price book, the ledger, budgets and alerts. Listens to conversations; never speaks to them."""
