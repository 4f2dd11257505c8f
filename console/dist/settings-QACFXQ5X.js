import{g as t}from"./chunk-RLH3V6A7.js";function e(){return t("div",{class:"page",children:t("h1",{children:"Settings"})})}export{e as SettingsPage};
