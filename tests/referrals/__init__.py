"""The promises of the referrals service."""
