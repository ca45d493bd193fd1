"""The filters of templates: each a function of the budget, the value and its arguments."""
