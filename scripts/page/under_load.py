def click_through(browser, program, screenshots):
    pass
