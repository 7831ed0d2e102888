//! `weir bench`: publishes at QoS 1 through a rule into a table, and measures what a user would see.
