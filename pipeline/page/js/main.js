// The one script of a page, and of the worker that the page begins with it.
import { showPage } from "./page.js";
import { serveTasks } from "./tasks.js";

if (globalThis.document) showPage();
else serveTasks();
