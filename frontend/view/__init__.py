"""`gradc view`: a page that shows a program from trace to memory plan."""

from .page import page as page
