"""Steady load with an exact audit: does the gateway keep its promises when it is busy and its parts are killed?"""
