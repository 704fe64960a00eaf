"""Measurements that a validation compares with, from tables and files of users."""
