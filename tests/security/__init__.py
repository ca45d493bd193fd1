"""Attacks: what each tries, and that it is refused, contained or audited."""
