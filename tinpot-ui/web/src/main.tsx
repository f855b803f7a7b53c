import { render } from "preact";
import { App } from "./app/app";
import { startRouter } from "./app/router";
import { startTheme } from "./app/theme";
import { hub } from "./stream";
import "./styles/index.css";

startTheme();
startRouter();
hub.start();

const root = document.getElementById("app");
if (root !== null) render(<App />, root);
