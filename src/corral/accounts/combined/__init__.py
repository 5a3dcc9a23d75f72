"""All active accounts of a user, read at once and merged: positions, orders, activities, equity and today's P/L.

For pages: `positions.read_all_positions`, `lists.read_page`,
`equity.read_all_curves`, `today.read_cash_flows`. Each takes credentials that `load_active_credentials` loaded for this
request, and names the accounts that have a problem or are still pending.
"""
