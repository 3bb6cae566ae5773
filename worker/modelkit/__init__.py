"""What makes models: conversion, evaluation, training. The running worker imports none of it."""
