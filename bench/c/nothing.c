/* What is run for each client where only the running is measured: it ends at once. Linked statically, as the workplace
 * does with it alone: nothing to look up, nothing to relocate. */
int main(void)
{
	return 0;
}
